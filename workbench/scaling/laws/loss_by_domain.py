"""Loss from parameters or compute by domain, and the best size (Henighan et al.): the entries."""

from __future__ import annotations

from workbench.scaling.laws.forms import PowerTerms
from workbench.scaling.laws.law import Check, Law
from workbench.scaling.laws.parts import PF_DAY, compute, params, recomputed
from workbench.scaling.laws.quantity import Quantity

MATH_DISAGREES = (
    "As printed, the laws of math do not fit together: at 1 PF-day this one gives .29, and the "
    "model of the best size there would end at .51 with endless data (henighan math)."
)

LOSS_BY_DOMAIN = [
    *(
        Law(
            f"henighan {domain}", f"Loss from parameters, {domain} (Henighan et al.)",
            Quantity("loss", "L", f"nats a token of {domain} (Henighan et al.)"),
            [params(low, high)],
            ({"E": E} if E else {}) | {"N0": N0, "a": a},
            PowerTerms({"params": ("N0", "a")}, "E" if E else None, scales=True),
            ("L = E + (N0/N)^a" if E else "L = (N0/N)^a"), "arXiv 2010.14701, table 1",
            conditions="Enough data and compute that neither binds.",
            notes="" if E else "The source gives no E: too little of the loss is left to tell it.",
            checks=[recomputed(loss, 1e-5, params=1e6),
                    *([recomputed(0.4663, 2e-4, params=4e8)] if domain == "math" else []),
                    *([recomputed(3.1398, 2e-5, params=1e9)] if domain == "image 8x8" else [])],
        )
        for domain, E, N0, a, low, high, loss in (
            ("language", None, 1.47e14, 0.070, None, None, 3.730029),
            ("math", 0.28, 1.1e4, 0.16, None, None, 0.765985),
            ("image 8x8", 3.12, 80, 0.24, None, None, 3.22393),
            ("image 16x16", 2.64, 280, 0.22, None, None, 2.805339),
            ("image 32x32", 2.20, 63, 0.13, None, None, 2.48439),
            ("image VQ 16x16", 3.99, 2.7e4, 0.13, None, None, 4.615284),
            ("image VQ 32x32", 3.07, 1.9e4, 0.14, None, None, 3.64415),
            ("video", 1.01, 3.7e4, 0.24, None, None, 1.463282),
        )
    ),
    *(
        Law(
            f"henighan {domain} compute", f"Loss from compute, {domain} (Henighan et al.)",
            Quantity("loss", "L", f"nats a token of {domain} (Henighan et al.)"),
            [compute(None, None, " (the source counts PF-days of 8.64e19)")],
            ({"E": E} if E else {}) | {"C0": C0, "a": a},
            PowerTerms({"compute": ("C0", "a")}, "E" if E else None, {"compute": PF_DAY}, True),
            f"L = {'E + ' if E else ''}(C0/C)^a, C in PF-days", "arXiv 2010.14701, table 1",
            conditions="The best size of model at each compute.", checks=checks,
            notes=MATH_DISAGREES if domain == "math" else "",
        )
        for domain, E, C0, a, checks in (
            ("language", None, 3.47e8, 0.048, [
                Check({"compute": 3640 * PF_DAY}, 1.7338, 1e-3,
                      "2.57 C^-.048 of arXiv 2005.14165, figure 3.1, at the PF-days of GPT-3"),
                recomputed(2.570016, 1e-6, compute=PF_DAY),
            ]),
            ("math", 0.14, 1.4e-5, 0.17, [recomputed(0.289569, 1e-5, compute=PF_DAY)]),
            ("image 8x8", 3.13, 1.8e-08, 0.19, [recomputed(3.163768, 1e-6, compute=PF_DAY)]),
            ("image 16x16", 2.64, 1.6e-08, 0.16, [recomputed(2.696580, 1e-6, compute=PF_DAY)]),
            ("image 32x32", 2.21, 3.6e-09, 0.1, [recomputed(2.353097, 1e-6, compute=PF_DAY)]),
            ("image VQ 16x16", 4.09, 6.1e-07, 0.11, [recomputed(4.297198, 1e-6, compute=PF_DAY)]),
            ("image VQ 32x32", 3.17, 2.6e-06, 0.12, [recomputed(3.383696, 1e-6, compute=PF_DAY)]),
            ("video", 0.95, 2.2e-05, 0.14, [recomputed(1.172812, 1e-6, compute=PF_DAY)]),
        )
    ),
    *(
        Law(
            f"henighan {domain} size", f"Best parameters from compute, {domain} (Henighan et al.)",
            Quantity("params", "N", "parameters, without embeddings, of least loss at a compute"),
            [compute(None, None, " (the source counts PF-days of 8.64e19)")],
            {"C0": C0, "a": a}, lambda c, x: (x.compute / PF_DAY / c.C0) ** c.a,
            "N = (C/C0)^a, C in PF-days", "arXiv 2010.14701, table 1",
            conditions="As the loss from compute, which is that of the best size.",
            checks=[recomputed(once, compute=PF_DAY), recomputed(more, compute=100 * PF_DAY)],
        )
        for domain, C0, a, once, more in (
            ("language", 3.3e-13, 0.73, 1.2927e9, 3.7281e10),
            ("math", 2.3e-12, 0.69, 1.0725e8, 2.5728e9),
        )
    ),
]  # fmt: skip
