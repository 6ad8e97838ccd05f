"""ValidatingWebhookConfiguration: webhooks that judge objects on their way in. Stored here; nothing calls them yet."""

from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources.admissionregistration._columns import WEBHOOK_COLUMNS
from pybernetes.apiserver.validation.admissionpolicies import GROUP
from pybernetes.apiserver.validation.webhooks import default_configuration, validate_configuration

RESOURCE = Resource(
    group=GROUP,
    plural="validatingwebhookconfigurations",
    default=lambda obj: default_configuration(obj, mutating=False),
    validate=validate_configuration,
    unconditional_update=False,
    columns=WEBHOOK_COLUMNS,
)
