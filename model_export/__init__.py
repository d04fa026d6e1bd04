"""Makes the artifact that the runtime serves: checkpoint, export, quantization, proof of fidelity.

Run it as ``python -m model_export``. What loads in a moment (``settings``, ``artifact``) may be imported by ``infra``; torch,
transformers and optimum are imported only where a model is really made.
"""
