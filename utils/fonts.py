"""Fonts for people's names in pictures."""

import functools

from matplotlib import font_manager

# with Chinese, Japanese and Korean characters, as Linux, Windows and macOS name them
ASIAN = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "Microsoft YaHei", "PingFang SC")


@functools.cache
def name_fonts() -> list[str]:
    """Returns the fonts for names: those with Asian characters behind the usual one, where they are installed."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *(font for font in ASIAN if font in installed)]
