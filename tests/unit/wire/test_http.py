from pybernetes.wire.http import Headers, Request


def test_the_media_type_is_without_case_and_parameters():
    request = Request("POST", "/", Headers([("Content-Type", " Application/JSON ; charset=utf-8")]))
    assert request.media_type == "application/json"
    assert Request("GET", "/").media_type == ""
