"""Models on the workbench: their heads, the hook in their attention, their tokens."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
