"""Text that comes from files, on its way to people."""


def visible(text: str) -> str:
    """A text in which control characters, such as a terminal obeys, are seen and not obeyed.

    Line ends and tabs stay; so does whatever else can be read.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
