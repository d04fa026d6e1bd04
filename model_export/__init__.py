"""Makes the artifact that the runtime serves: fetches a checkpoint, exports it, quantizes it, and proves that it is faithful.

Run it as ``python -m model_export``. Modules import in one direction: :mod:`.artifact`, which puts all steps together, then
:mod:`.memory`, :mod:`.verify`, :mod:`.tokenizer`, :mod:`.export`, :mod:`.resources` and :mod:`.describe`, then :mod:`.precision`,
then :mod:`.graph`. :mod:`.checkpoint`, :mod:`.files`, :mod:`.texts`, :mod:`.progress` and :mod:`.errors` stand below them all.

``artifact`` and ``errors`` load in a moment, so ``app.py`` imports them; torch, transformers and optimum are imported only when an
artifact is made.
"""
