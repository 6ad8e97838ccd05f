"""LocalSubjectAccessReview: may this user do that in this namespace?"""

from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources.authorization._review import GROUP, review_local

RESOURCE = Resource(group=GROUP, plural="localsubjectaccessreviews", create=review_local, generation=False)
