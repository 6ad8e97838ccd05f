"""SubjectAccessReview: may this user do that?"""

from pybernetes.apiserver.resource import Resource
from pybernetes.apiserver.resources.authorization._review import GROUP, review_subject

RESOURCE = Resource(group=GROUP, plural="subjectaccessreviews", create=review_subject, generation=False)
