"""The verb ``embed``: embeddings of all images of a folder or list, in a file.

``plan`` divides the images into parts, ``share`` assigns parts to processes, ``parts`` stores the embeddings
of finished parts, ``decode`` reads images, and ``verb`` computes and joins.
"""
