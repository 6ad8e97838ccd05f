"""A User as JSON has it."""

from pybernetes.api.objects import Object, User


def user_info(user: User) -> Object:
    """authentication.k8s.io UserInfo."""
    info: Object = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info
