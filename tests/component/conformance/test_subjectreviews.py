"""Access reviews: upstream's test/e2e/auth/subjectreviews.go."""

import pytest

ACCOUNT = "system:serviceaccount:default:robot"
GROUP = "/apis/authorization.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.conformance("[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]")
async def test_reviews_agree_with_what_happens(api):
    await api.ok("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
    about = {"namespace": "default", "verb": "list", "resource": "configmaps", "version": "v1"}
    asked = {"spec": {"user": ACCOUNT, "resourceAttributes": about}}
    roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
    for allowed in (False, True):
        if allowed:
            subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
            role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
            await api.ok("POST", roles, {"metadata": {"name": "b"}, "roleRef": role, "subjects": [subject]})
        code, _ = await api("GET", MAPS, impersonate_user=ACCOUNT)
        assert (code == 200) is allowed
        review = await api.ok("POST", f"{GROUP}/subjectaccessreviews", asked)
        assert review["status"]["allowed"] is allowed
        local = {"metadata": {"namespace": "default"}, **asked}
        review = await api.ok("POST", f"{GROUP}/namespaces/default/localsubjectaccessreviews", local)
        assert review["status"]["allowed"] is allowed
