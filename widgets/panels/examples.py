"""Texts that show at once what retrieval heads do: each but the last needs what stood early."""

from __future__ import annotations

LIST = (
    "Bring seven candles, a copper kettle, two violins and the blue umbrella. "
    "I repeat: bring seven candles, a copper kettle, two violins and the blue umbrella."
)
CODE = (
    "The code of the north gate is 7391. The code of the south gate is 2046. The guards change at "
    "noon, the river is low this week, and nobody has seen the ferry since the storm; the baker "
    "still sells the dark bread that the soldiers like. Somebody asks at the north gate for its "
    "code. The code of the north gate is 7391. Then somebody asks at the south gate. The code of "
    "the south gate is 2046."
)
CHAIN = (
    "Anna has twelve apples. Ben has twice as many apples as Anna, so Ben has 24 apples. Clara has "
    "five apples fewer than Ben, so Clara has 24 - 5 = 19 apples. Together Anna, Ben and Clara "
    "have 12 + 24 + 19 = 55 apples. They sell 15 apples, so 55 - 15 = 40 apples are left."
)
NOVEL = (
    "The harbour lay quiet in the morning, and a thin fog moved over the water. An old woman "
    "carried baskets of bread up the steps, while the gulls argued about the remains of the market."
)
EXAMPLES = [
    ("a list, repeated", LIST),
    ("a code, asked for late", CODE),
    ("a chain of reasoning", CHAIN),
    ("nothing to look up", NOVEL),
]
