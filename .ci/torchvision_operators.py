"""Two operators that PyPI's torchvision registers shapes for and, beside a CPU torch, does not have.

Their schemas are declared just before torchvision asks for them, in every process of the environment: vLLM looks at
models in processes of its own. Nobody calls them.
"""

import importlib.abc
import sys


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torchvision._meta_registrations":
            sys.meta_path.remove(self)
            import torch

            global library  # as long as it lives, so do its operators
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return


sys.meta_path.insert(0, _BeforeTorchvision())
