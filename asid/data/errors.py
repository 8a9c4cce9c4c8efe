"""What is raised where data is not what was expected."""


class ImageError(ValueError):
    """A file that is no image this package takes, a folder without any, or images that do not belong together."""
