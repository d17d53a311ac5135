"""Training small models: heads as they form, and a choice of data as it is tested."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
