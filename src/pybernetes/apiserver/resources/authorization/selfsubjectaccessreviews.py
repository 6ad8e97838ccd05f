"""SelfSubjectAccessReview: may I do that? (`kubectl auth can-i`)"""

from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources.authorization._review import GROUP, review_self

RESOURCE = Resource(group=GROUP, plural="selfsubjectaccessreviews", create=review_self, generation=False)
