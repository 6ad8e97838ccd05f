from pybernetes.wire.http import Headers, Request


def test_the_media_type_is_without_case_and_parameters():
    request = Request("POST", "/", Headers([("Content-Type", " Application/JSON ; charset=utf-8")]))
    assert request.media_type == "application/json"
    assert Request("GET", "/").media_type == ""


def test_the_first_value_of_a_header_is_told_and_all_of_them_as_one():
    headers = Headers([("Accept", "a"), ("Host", "h"), ("ACCEPT", "b")])
    assert (headers.get("accept"), headers.get("Host"), headers.get("x", "none")) == ("a", "h", "none")
    assert headers.all("Accept") == ["a", "b"]
    assert (headers.joined("accept"), headers.joined("host"), headers.joined("x")) == ("a,b", "h", "")


def test_headers_that_change_tell_what_they_are_now():
    headers = Headers([("a", "1")])
    assert headers.get("a") == "1"
    headers.add("b", "2")
    assert (headers.get("b"), "B" in headers) == ("2", True)
    headers.set("A", "3")
    assert headers.get("a") == "3"
    headers.remove("b")
    assert (headers.get("b"), "b" in headers, list(headers)) == ("", False, [("a", "3")])


def test_names_are_found_by_how_they_begin():
    headers = Headers([("x-impersonate-user", "a"), ("Impersonate-Extra-Scopes", "b")])
    assert headers.begins("impersonate-")
    assert headers.begins("x-")
    assert not headers.begins("user")
    assert not Headers().begins("impersonate-")
