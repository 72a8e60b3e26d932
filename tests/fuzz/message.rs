//! Messages between shard and worker under arbitrary bytes: whatever can be read is written again
//! as it was, and nothing else happens.

use std::rc::Rc;

use corewise::http::{Head, Params, ResponseHead};
use corewise::offload::message::{
    Fields, RequestIn, RequestOut, RequestParts, ResponseIn, ResponseOut, decode_trailers,
    encode_trailers,
};

/// Reads `input` as everything that it could be.
pub(crate) fn check(input: &[u8]) -> Result<(), String> {
    for params in 0..4 {
        check_request(input, vec!["p".into(); params].into())?;
    }
    check_response(input)?;
    check_trailers(input)
}

fn check_request(input: &[u8], names: Rc<[Box<str>]>) -> Result<(), String> {
    let Ok(request) = RequestIn::open(input) else { return Ok(()) };
    let (mut head, mut params) = (Head::new(), Params::new());
    if request.read(&names, &mut head, &mut params).is_err() {
        return Ok(());
    }
    // Every getter of a head relies on its judgement.
    let _ = (head.path(), head.query(), head.authority(), head.headers().count());
    let parts = RequestParts {
        head: &head,
        params: &params,
        route: request.route,
        carriage: request.carriage,
        deadline: request.deadline,
    };
    let out = RequestOut::new(parts).map_err(|error| error.to_string())?;
    let mut again = Vec::new();
    out.encode(&mut again);
    if again != input[..request.head_bytes()] {
        return Err("a request is written otherwise than it was read".to_owned());
    }
    Ok(())
}

fn check_response(input: &[u8]) -> Result<(), String> {
    let Some(first) = read_response(input) else { return Ok(()) };
    let (response, content_type, fields) = first;
    let head = ResponseHead {
        status: response.status,
        content_type: content_type.as_ref(),
        fields: &fields,
    };
    let out = ResponseOut::new(head, response.carriage).map_err(|error| error.to_string())?;
    let mut again = Vec::new();
    out.encode(&mut again);
    let second = read_response(&again).ok_or("a response cannot be read again")?;
    let same = (second.0.status, second.0.carriage) == (response.status, response.carriage)
        && (second.1, second.2) == (content_type, fields);
    if same { Ok(()) } else { Err("a response becomes another one".to_owned()) }
}

type Response<'a> = (ResponseIn<'a>, Option<http::HeaderValue>, Fields);

fn read_response(input: &[u8]) -> Option<Response<'_>> {
    let response = ResponseIn::open(input).ok()?;
    let mut fields = Fields::new();
    let content_type = response.read(&mut fields).ok()?;
    Some((response, content_type, fields))
}

fn check_trailers(input: &[u8]) -> Result<(), String> {
    let Ok(fields) = decode_trailers(input) else { return Ok(()) };
    let mut again = Vec::new();
    encode_trailers(&fields, &mut again).map_err(|error| error.to_string())?;
    match decode_trailers(&again) {
        Ok(second) if second == fields => Ok(()),
        _ => Err("trailers become others".to_owned()),
    }
}

/// What matters to messages.
pub(crate) const DICTIONARY: &[&[u8]] = &[
    b"\0",
    b"\x01",
    b"\x02",
    b"\0\0\0\0",
    b"\x01\0\0\0",
    b"\x04\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff",
    b"\x01\0",
    b"\xc8\0",
    b"\x64\0",
    b"\x01\x01\0\x03",
    b"\x01\0\xc8\0",
    b"GET",
    b"CONNECT",
    b"OPTIONS",
    b"/",
    b"*",
    b"%41",
    b"?",
    b"http://a/",
    b"\x04\0\0\0\x01\0\0\0hosta",
    b"\x01\0\0\0\x01\0\0\0ab",
    b"\x0c\0\0\0\x01\0\0\0content-typea",
    b"\xc3\xa9",
    b"\xff",
    b"\r\n",
    b":",
];
