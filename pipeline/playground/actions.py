"""Define the actions of the playground: what a figure does, and which labels follow from it.

A label that a clip shows is *momentary*. The other labels name the same motions again, depending on what else is in the
frame (*relational*), on what a conductor did 5 to 15 s before (*long-term*), or on what the figure did 4 to 6 s before
or does 4 to 6 s after (*order*).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ActionClass:
    """One line of the label map."""

    id: int
    name: str
    group: str


SIGNALS = ("raise", "spread", "hands_on_head")  # motions of the conductor
MOMENTARY = ("stand", "walk", "crouch", "jump", "wave", "point", "bow", "dance", *SIGNALS)

_NAMES = {
    "momentary": ("stand", "walk", "crouch", "jump", "wave", "point", "bow", "dance",
                  "raise both arms", "spread both arms", "put hands on head"),
    "relational": ("wave to someone who bows", "wave to nobody", "point at a ball", "point at nothing"),
    "long-term": ("dance after raised arms", "dance after spread arms", "dance after hands on head"),
    "order": ("jump after a crouch", "jump before a crouch"),
}  # fmt: skip
_GROUP_OF = [(name, group) for group, names in _NAMES.items() for name in names]
CLASSES = tuple(ActionClass(number, name, group) for number, (name, group) in enumerate(_GROUP_OF, 1))
_ID = {each.name: each.id for each in CLASSES}

MOTION_ID = {motion: number for number, motion in enumerate(MOMENTARY, 1)}
WAVE_IDS = (_ID["wave to someone who bows"], _ID["wave to nobody"])
POINT_IDS = (_ID["point at a ball"], _ID["point at nothing"])
DANCE_ID = dict(zip(SIGNALS, (each.id for each in CLASSES if each.group == "long-term"), strict=True))
JUMP_IDS = (_ID["jump after a crouch"], _ID["jump before a crouch"])
