"""Makes the artifact that the runtime serves: fetches a checkpoint, exports it, quantizes it, and proves that it is faithful.

Run it as ``python -m model_export``. Modules import in one direction: :mod:`.artifact`, which puts all steps together, then
:mod:`.memory`, :mod:`.verify`, :mod:`.originals`, :mod:`.resources` and :mod:`.tokenizer` (with :mod:`.differences` and
:mod:`.random_texts`), then :mod:`.weights`, :mod:`.samples` and :mod:`.export`, then :mod:`.describe` with :mod:`.modules`. Graphs are
:mod:`.precision` over :mod:`.graph`. :mod:`.checkpoint`, :mod:`.files`, :mod:`.texts`, :mod:`.progress` and :mod:`.errors` stand below
them all.

``artifact`` and ``errors`` load in a moment, so ``app.py`` imports them; torch, transformers and optimum are imported only when an
artifact is made.
"""
