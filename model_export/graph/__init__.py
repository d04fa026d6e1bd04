"""The shipped graph: read from Optimum's fp32 export, and written anew.

:mod:`.families` reads the export into the parts of :mod:`.encoder`, :mod:`.algebra` rewrites them, :mod:`.encoder_writer` writes
them with the :mod:`.arithmetic` of a precision, and :mod:`.build` puts these steps together. An export that cannot be read is
kept: :mod:`.optimize` makes it fast and :mod:`.in_place` quantizes it. :mod:`.quantize`, :mod:`.writer` and :mod:`.model` are
what they all write with.
"""
