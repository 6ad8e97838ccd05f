"""Secrets of type kubernetes.io/service-account-token, with the real API server that knows their tokens."""

import base64

from tests.component.controllers.world import World, authority, simulated, world

from pybernetes.api.types import core_v1
from pybernetes.controllers.runtime import Config
from pybernetes.controllers.serviceaccount_token import NAME, TYPE, UID
from pybernetes.testing import Cluster
from pybernetes.wire.pki.keys import new_rsa_key

SECRETS = "/api/v1/namespaces/default/secrets"
_KEY = new_rsa_key()


def asking(name: str = "t", account: str = "robot") -> dict[str, object]:
    return {"metadata": {"name": name, "annotations": {NAME: account}}, "type": TYPE}


async def made(w: World, **more: object) -> core_v1.Secret:
    await w.create(core_v1.ServiceAccount, "robot")
    await w.client.raw("POST", SECRETS, asking() | more)
    await w.clock.sleep(2)
    return await w.get(core_v1.Secret, "t")


def decoded(secret: core_v1.Secret, name: str) -> str:
    return base64.b64decode(secret.data[name]).decode()


@simulated
async def test_a_secret_that_asks_for_a_token_has_one_that_the_server_knows():
    async with Cluster() as cluster:
        client = cluster.client()
        await client.raw("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
        await client.raw("POST", SECRETS, asking())
        await cluster.advance(seconds=2)
        found = await client.raw("GET", f"{SECRETS}/t")
        token = base64.b64decode(found["data"]["token"]).decode()

        async def review() -> dict[str, object]:
            body = {"spec": {"token": token}}
            answer = await client.raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
            return dict(answer["status"])

        status = await review()
        assert status["authenticated"] is True
        assert status["user"]["username"] == "system:serviceaccount:default:robot"  # type: ignore[index]
        await client.raw("DELETE", "/api/v1/namespaces/default/serviceaccounts/robot")
        await cluster.advance(seconds=2)
        assert "items" in (listed := await client.raw("GET", SECRETS))
        assert listed["items"] == []
        assert not (await review()).get("authenticated")


@simulated
async def test_the_secret_says_all_that_a_client_needs():
    async with world(nodes=0, config=Config(service_account_key=_KEY)) as w:
        secret = await made(w)
        account = await w.get(core_v1.ServiceAccount, "robot")
        assert secret.metadata.annotations == {NAME: "robot", UID: account.metadata.uid}
        assert decoded(secret, "ca.crt") == authority().pem.decode()
        assert decoded(secret, "namespace") == "default"
        before = secret.data["token"]
        await w.patch(core_v1.Secret, "t", {"data": {"ca.crt": None, "namespace": None}})
        await w.clock.sleep(2)
        again = await w.get(core_v1.Secret, "t")
        assert decoded(again, "ca.crt") == authority().pem.decode()
        assert again.data["token"] == before
        await w.patch(core_v1.Secret, "t", {"data": {"token": None}})
        await w.clock.sleep(2)
        assert (await w.get(core_v1.Secret, "t")).data["token"]


@simulated
async def test_a_secret_that_has_all_it_needs_is_left_alone():
    async with world(nodes=0, config=Config(service_account_key=_KEY)) as w:
        await made(w)
        await w.patch(core_v1.Secret, "t", {"metadata": {"annotations": {UID: None}}})
        before = len(w.wire.writes)
        await w.clock.sleep(5)
        assert [one for one in w.wire.writes[before:] if "/secrets" in one] == []
        assert UID not in (await w.get(core_v1.Secret, "t")).metadata.annotations


@simulated
async def test_a_namesake_of_the_account_does_not_keep_the_secret():
    async with world(nodes=0, config=Config(service_account_key=_KEY)) as w:
        await made(w)
        await w.delete(core_v1.ServiceAccount, "robot")
        await w.create(core_v1.ServiceAccount, "robot")
        await w.clock.sleep(2)
        assert not await w.there(core_v1.Secret, "t")


@simulated
async def test_an_account_forgets_a_secret_that_is_gone():
    async with world(nodes=0, config=Config(service_account_key=_KEY)) as w:
        await made(w)
        await w.patch(core_v1.ServiceAccount, "robot", {"secrets": [{"name": "t"}, {"name": "other"}]})
        await w.delete(core_v1.Secret, "t")
        await w.clock.sleep(2)
        account = await w.get(core_v1.ServiceAccount, "robot")
        assert [ref.name for ref in account.secrets] == ["other"]


@simulated
async def test_what_another_account_names_is_its_own():
    async with world(nodes=0, config=Config(service_account_key=_KEY)) as w:
        await made(w)
        await w.create(core_v1.ServiceAccount, "else", secrets=[{"name": "t"}])
        await w.delete(core_v1.Secret, "t")
        await w.clock.sleep(2)
        account = await w.get(core_v1.ServiceAccount, "else")
        assert [ref.name for ref in account.secrets] == ["t"]


@simulated
async def test_other_secrets_and_a_manager_without_a_key_are_left_alone():
    async with world(nodes=0) as w:
        assert (await made(w)).data == {}
    async with world(nodes=0, config=Config(service_account_key=_KEY)) as w:
        meta = {"annotations": {NAME: "robot"}}
        await w.create(core_v1.Secret, "plain", metadata=meta, type="Opaque")
        await w.clock.sleep(2)
        assert (await w.get(core_v1.Secret, "plain")).data == {}
