use proptest::prelude::*;

use super::*;

/// A request as a test wants it, from which heads are filled.
#[derive(Clone, Debug)]
struct Plan {
    method: String,
    version: Version,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    values: Vec<String>,
    route: u16,
    carriage: Carriage,
    deadline: u64,
}

impl Plan {
    fn head(&self) -> Head {
        let mut head = Head::new();
        head.restore(&self.method, self.version, &self.target, self.carriage.body_length())
            .expect("a valid request line");
        for (name, value) in &self.fields {
            head.restore_field(name.as_bytes(), value).expect("a valid field");
        }
        head
    }

    fn names(&self) -> Rc<[Box<str>]> {
        (0..self.values.len()).map(|index| format!("p{index}").into_boxed_str()).collect()
    }

    fn params(&self) -> Params {
        let mut params = Params::new();
        params.begin(&self.names());
        self.values.iter().for_each(|value| params.push_decoded(value));
        params
    }

    fn encode(&self) -> Vec<u8> {
        let (head, params) = (self.head(), self.params());
        let parts = RequestParts {
            head: &head,
            params: &params,
            route: RouteId(self.route),
            carriage: self.carriage,
            deadline: Time::from_nanos(self.deadline),
        };
        let out = RequestOut::new(parts).expect("within the bounds");
        let mut bytes = Vec::new();
        out.encode(&mut bytes);
        assert_eq!(bytes.len(), out.head_bytes());
        bytes
    }
}

fn plan() -> Plan {
    Plan {
        method: "POST".to_owned(),
        version: Version::Http11,
        target: "/a/b%20c?d=e".to_owned(),
        fields: vec![
            ("Host".to_owned(), b"example.org:81".to_vec()),
            ("X-Thing".to_owned(), b"caf\xe9".to_vec()),
            ("x-empty".to_owned(), Vec::new()),
        ],
        values: vec!["b c".to_owned()],
        route: 7,
        carriage: Carriage::Whole(5),
        deadline: 1_000_000_007,
    }
}

fn carriages() -> impl Strategy<Value = Carriage> {
    prop_oneof![
        any::<u64>().prop_map(Carriage::Whole),
        any::<Option<u64>>().prop_map(Carriage::Chunks)
    ]
}

prop_compose! {
    fn plans()(
        method in "GET|POST|OPTIONS|[A-Z!#^_|~]{1,32}",
        http11: bool,
        target in "/[a-z/.~]{0,30}(%41|%c3%a9)?(\\?[a-z=&%]{0,20})?",
        fields in prop::collection::vec(("x-[A-Za-z0-9-]{1,12}", "[\t -~]{0,40}"), 0..12),
        host in prop::option::of("[a-z.]{1,9}(:[0-9]{1,4})?"),
        values in prop::collection::vec(".{0,12}", 0..4),
        route: u16,
        carriage in carriages(),
        deadline: u64,
    ) -> Plan {
        let others = fields.into_iter().map(|(name, value)| (name, value.into_bytes()));
        let host = host.map(|host| ("hOST".to_owned(), host.into_bytes()));
        Plan {
            // The one method whose target has another form.
            method: if method == "CONNECT" { "GET".to_owned() } else { method },
            version: if http11 { Version::Http11 } else { Version::Http10 },
            target,
            fields: others.chain(host).collect(),
            values,
            route,
            carriage,
            deadline,
        }
    }
}

/// Reads a request head, gives back everything that was read.
fn read(bytes: &[u8], names: &Rc<[Box<str>]>) -> Result<Plan, DecodeError> {
    let opened = RequestIn::open(bytes)?;
    let (mut head, mut params) = (Head::new(), Params::new());
    opened.read(names, &mut head, &mut params)?;
    assert_eq!(head.body_length(), opened.carriage.body_length());
    Ok(Plan {
        method: head.method().to_string(),
        version: head.version(),
        target: head.target().to_owned(),
        fields: head.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
        values: params.values(head.path()).map(str::to_owned).collect(),
        route: opened.route.0,
        carriage: opened.carriage,
        deadline: opened.deadline.as_nanos(),
    })
}

/// Reads whatever it is as everything it could be.
fn read_as_everything(bytes: &[u8]) {
    for count in 0..3 {
        let names: Rc<[Box<str>]> = vec!["p".into(); count].into();
        if let Ok(plan) = read(bytes, &names) {
            assert!(bytes.starts_with(&plan.encode()), "what can be read is what would be written");
        }
    }
    if let Ok(opened) = ResponseIn::open(bytes) {
        let mut fields = Fields::new();
        if let Ok(content_type) = opened.read(&mut fields) {
            assert_same_response(&opened, content_type, fields);
        }
    }
    if let Ok(fields) = decode_trailers(bytes) {
        let mut again = Vec::new();
        encode_trailers(&fields, &mut again).expect("what was read is within the bounds");
        assert_eq!(decode_trailers(&again).as_ref(), Ok(&fields));
    }
}

/// A response survives being written and read again.
fn assert_same_response(first: &ResponseIn<'_>, content_type: Option<HeaderValue>, fields: Fields) {
    let head =
        ResponseHead { status: first.status, content_type: content_type.as_ref(), fields: &fields };
    let mut bytes = Vec::new();
    let out = ResponseOut::new(head, first.carriage).expect("what was read is within the bounds");
    out.encode(&mut bytes);
    assert_eq!(bytes.len(), out.head_bytes());
    let again = ResponseIn::open(&bytes).expect("what was written can be read");
    let mut fields_again = Fields::new();
    assert_eq!(again.read(&mut fields_again), Ok(content_type));
    assert_eq!((again.status, again.carriage), (first.status, first.carriage));
    assert_eq!(fields_again, fields);
}

fn response() -> Vec<u8> {
    let fields = [
        (header::SET_COOKIE, HeaderValue::from_static("a=b")),
        (HeaderName::from_static("x-thing"), HeaderValue::from_static("")),
    ];
    let content_type = HeaderValue::from_static("text/plain");
    let head = ResponseHead {
        status: StatusCode::NOT_FOUND,
        content_type: Some(&content_type),
        fields: &fields,
    };
    let mut bytes = Vec::new();
    ResponseOut::new(head, Carriage::Whole(3)).unwrap().encode(&mut bytes);
    bytes
}

#[test]
fn requests_have_these_bytes() {
    let expected = [
        b"\x01\x01\x00\x04\x77\x00\x00\x00\x05\0\0\0\0\0\0\0\x07\xca\x9a\x3b\0\0\0\0".as_slice(),
        b"\x0c\0\0\0\x07\0\x01\0\x03\0\0\0POST/a/b%20c?d=e\x03\0\0\0b c",
        b"\x04\0\0\0\x0e\0\0\0Hostexample.org:81",
        b"\x07\0\0\0\x04\0\0\0X-Thingcaf\xe9",
        b"\x07\0\0\0\0\0\0\0x-empty",
    ]
    .concat();
    assert_eq!(plan().encode().escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn responses_have_these_bytes() {
    let expected = [
        b"\x01\x00\x94\x01\x56\x00\x00\x00\x03\0\0\0\0\0\0\0\x03\0\0\0".as_slice(),
        b"\x0c\0\0\0\x0a\0\0\0content-typetext/plain",
        b"\x0a\0\0\0\x03\0\0\0set-cookiea=b",
        b"\x07\0\0\0\0\0\0\0x-thing",
    ]
    .concat();
    assert_eq!(response().escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn a_head_that_was_carried_answers_like_the_first() {
    let plan = plan();
    let bytes = plan.encode();
    let (mut head, mut params) = (Head::new(), Params::new());
    RequestIn::open(&bytes).unwrap().read(&plan.names(), &mut head, &mut params).unwrap();
    assert_eq!((head.path(), head.query()), ("/a/b%20c", Some("d=e")));
    assert_eq!(head.authority(), Some("example.org:81"));
    assert_eq!(head.header("x-tHING"), Some(b"caf\xe9".as_slice()));
    assert_eq!(head.body_length(), BodyLength::Known(5));
    assert_eq!(params.get(head.path(), "p0"), Some("b c"));
}

#[test]
fn a_used_head_keeps_nothing_of_the_last_request() {
    let mut next = plan();
    next.fields.clear();
    next.carriage = Carriage::Chunks(None);
    let (mut head, mut params) = (plan().head(), plan().params());
    let bytes = next.encode();
    RequestIn::open(&bytes).unwrap().read(&next.names(), &mut head, &mut params).unwrap();
    assert_eq!((head.headers().count(), head.authority()), (0, None));
    assert_eq!(head.body_length(), BodyLength::Chunked);
}

#[test]
fn every_truncation_is_noticed() {
    for message in [plan().encode(), response()] {
        for length in 0..message.len() {
            let cut = &message[..length];
            assert!(RequestIn::open(cut).is_err(), "{length}");
            assert!(ResponseIn::open(cut).is_err(), "{length}");
            // The same with a head that says it ends there.
            let mut short = cut.to_vec();
            if let Some(bytes) = short.get_mut(4..8) {
                bytes.copy_from_slice(&(length as u32).to_le_bytes());
            }
            assert!(read(&short, &plan().names()).is_err(), "{length}");
            let opened = ResponseIn::open(&short);
            assert!(opened.and_then(|opened| opened.read(&mut Fields::new())).is_err(), "{length}");
        }
    }
}

#[test]
fn every_single_bit_may_be_wrong() {
    for message in [plan().encode(), response()] {
        for bit in 0..message.len() * 8 {
            let mut bent = message.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            read_as_everything(&bent);
        }
    }
}

#[track_caller]
fn check_request(change: impl FnOnce(&mut Vec<u8>), expected: DecodeError) {
    let mut bytes = plan().encode();
    change(&mut bytes);
    assert_eq!(read(&bytes, &plan().names()).map(|plan| plan.route), Err(expected));
}

#[test]
fn each_fault_of_a_request_has_its_name() {
    check_request(|bytes| bytes[0] = 2, DecodeError::Format);
    check_request(|bytes| bytes[1] = 2, DecodeError::Judged(Error::VersionInvalid));
    check_request(|bytes| bytes[2] = 3, DecodeError::Carriage);
    check_request(|bytes| bytes[2] = 2, DecodeError::Carriage);
    check_request(|bytes| bytes[3] = 255, DecodeError::Truncated);
    check_request(|bytes| bytes[4] -= 1, DecodeError::Truncated);
    check_request(|bytes| bytes[7] = 1, DecodeError::HeadBytes);
    check_request(|bytes| bytes[27] = 1, DecodeError::Truncated);
    check_request(|bytes| bytes[30] = 2, DecodeError::Parameters);
    check_request(|bytes| bytes[32] = 2, DecodeError::Excess);
    check_request(|bytes| bytes[32] = 4, DecodeError::Truncated);
    check_request(|bytes| bytes[34] = 1, DecodeError::Padding);
    check_request(|bytes| bytes[36] = b' ', DecodeError::Judged(Error::MethodInvalid));
    check_request(|bytes| bytes[36] = 0xff, DecodeError::Text);
    check_request(|bytes| bytes[40] = b'\n', DecodeError::Judged(Error::TargetInvalid));
    check_request(|bytes| bytes[56] = 0xff, DecodeError::Text);
    check_request(|bytes| bytes[67] = b':', DecodeError::Judged(Error::FieldNameInvalid));
    check_request(|bytes| bytes[71] = b'/', DecodeError::Judged(Error::HostInvalid));
    let last = plan().encode().len() - b"\x07\0\0\0\0\0\0\0x-empty".len() - 1;
    check_request(|bytes| bytes[last] = b'\r', DecodeError::Judged(Error::FieldValueInvalid));
}

#[track_caller]
fn check_response(change: impl FnOnce(&mut Vec<u8>), expected: DecodeError) {
    let mut bytes = response();
    change(&mut bytes);
    let opened = ResponseIn::open(&bytes);
    let read = opened.and_then(|opened| opened.read(&mut Fields::new()));
    assert_eq!(read, Err(expected));
}

#[test]
fn each_fault_of_a_response_has_its_name() {
    check_response(|bytes| bytes[0] = 0, DecodeError::Format);
    check_response(|bytes| bytes[1] = 9, DecodeError::Carriage);
    check_response(|bytes| bytes[2..4].copy_from_slice(&[100, 0]), DecodeError::Status);
    check_response(|bytes| bytes[2..4].copy_from_slice(&[0, 255]), DecodeError::Status);
    check_response(|bytes| bytes[7] = 255, DecodeError::HeadBytes);
    check_response(|bytes| bytes[16..18].copy_from_slice(&[2, 0]), DecodeError::Excess);
    check_response(|bytes| bytes[16..18].copy_from_slice(&[4, 0]), DecodeError::Truncated);
    check_response(|bytes| bytes[17] = 255, DecodeError::TooManyFields);
    check_response(|bytes| bytes[19] = 1, DecodeError::Padding);
    check_response(|bytes| bytes[28] = b'\r', DecodeError::Name);
    check_response(|bytes| bytes[40] = b'\n', DecodeError::Value);
}

#[test]
fn the_whole_message_has_the_length_it_says() {
    let bytes = plan().encode();
    let request = RequestIn::open(&bytes).unwrap();
    let length = request.head_bytes() as u64 + 5;
    assert_eq!(request.check_length(length), Ok(()));
    assert_eq!(request.check_length(length - 1), Err(DecodeError::MessageBytes));
    assert_eq!(request.check_length(length + 1), Err(DecodeError::MessageBytes));
    let bytes = Plan { carriage: Carriage::Whole(u64::MAX), ..plan() }.encode();
    let request = RequestIn::open(&bytes).unwrap();
    assert_eq!(request.check_length(length), Err(DecodeError::MessageBytes));
    let bytes = Plan { carriage: Carriage::Chunks(Some(9)), ..plan() }.encode();
    let request = RequestIn::open(&bytes).unwrap();
    assert_eq!(request.check_length(request.head_bytes() as u64), Ok(()));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_written() {
    let huge = Plan {
        fields: vec![("x".to_owned(), vec![b'a'; REQUEST_MESSAGE_HEAD_BYTES_MAX])],
        ..plan()
    };
    let (head, params) = (huge.head(), huge.params());
    let parts = RequestParts {
        head: &head,
        params: &params,
        route: RouteId(0),
        carriage: Carriage::Whole(0),
        deadline: Time::default(),
    };
    assert_eq!(RequestOut::new(parts).map(|out| out.head_bytes()), Err(Oversize::HeadBytes));

    let value = HeaderValue::from_str(&"a".repeat(RESPONSE_MESSAGE_HEAD_BYTES_MAX)).unwrap();
    let head = ResponseHead { status: StatusCode::OK, content_type: Some(&value), fields: &[] };
    let refused = ResponseOut::new(head, Carriage::Whole(0));
    assert_eq!(refused.map(|out| out.head_bytes()), Err(Oversize::HeadBytes));
    let one = (HeaderName::from_static("a"), HeaderValue::from_static("b"));
    let fields = vec![one; RESPONSE_FIELDS_MAX + 1];
    let head = ResponseHead { status: StatusCode::OK, content_type: None, fields: &fields };
    let refused = ResponseOut::new(head, Carriage::Whole(0));
    assert_eq!(refused.map(|out| out.head_bytes()), Err(Oversize::Fields));

    let mut sink = Vec::new();
    assert_eq!(encode_trailers(&fields, &mut sink), Err(Oversize::Fields));
    let long = HeaderValue::from_bytes(&[b'a'; TRAILER_BYTES_MAX]).unwrap();
    let long = [(HeaderName::from_static("a"), long)];
    assert_eq!(encode_trailers(&long, &mut sink), Err(Oversize::HeadBytes));
    assert!(sink.is_empty());
}

#[test]
fn trailers_are_carried() {
    let fields = vec![(HeaderName::from_static("x-sum"), HeaderValue::from_static("1"))];
    let mut bytes = Vec::new();
    encode_trailers(&fields, &mut bytes).unwrap();
    assert_eq!(decode_trailers(&bytes), Ok(fields));
    for length in 0..bytes.len() {
        assert!(decode_trailers(&bytes[..length]).is_err());
    }
    bytes.push(0);
    assert_eq!(decode_trailers(&bytes), Err(DecodeError::Excess));
    assert_eq!(decode_trailers(&[0; TRAILERS_BYTES_MAX + 1]), Err(DecodeError::HeadBytes));
    assert_eq!(decode_trailers(&[1, 1, 0, 0]), Err(DecodeError::Padding));
    assert_eq!(decode_trailers(&[2, 0, 0, 0]), Err(DecodeError::Format));
    assert_eq!(decode_trailers(&[1, 0, 0, 255]), Err(DecodeError::TooManyFields));
}

proptest! {
    #[test]
    fn requests_survive(plan in plans()) {
        let bytes = plan.encode();
        let again = read(&bytes, &plan.names()).expect("what was written can be read");
        prop_assert_eq!(format!("{again:?}"), format!("{plan:?}"));
    }

    #[test]
    fn requests_survive_with_a_body_behind(plan in plans(), body: Vec<u8>) {
        let mut bytes = plan.encode();
        let head_bytes = bytes.len();
        bytes.extend(&body);
        prop_assert_eq!(RequestIn::open(&bytes).unwrap().head_bytes(), head_bytes);
        let again = read(&bytes, &plan.names()).expect("what was written can be read");
        prop_assert_eq!(format!("{again:?}"), format!("{plan:?}"));
    }

    #[test]
    fn responses_survive(
        status in 200u16..1000,
        content_type in prop::option::of("[ -~]{0,30}"),
        fields in prop::collection::vec(("[A-Za-z-]{1,20}", prop::collection::vec(
            prop_oneof![Just(b'\t'), b' '..0x7f, 0x80..=0xffu8], 0..30)), 0..10),
        carriage in carriages(),
    ) {
        let content_type = content_type.map(|text| HeaderValue::from_str(&text).unwrap());
        let fields: Fields = fields
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                (name, HeaderValue::from_bytes(value).unwrap())
            })
            .filter(|(name, _)| name != header::CONTENT_TYPE)
            .collect();
        let status = StatusCode::from_u16(status).unwrap();
        let first = ResponseIn { status, carriage, fields: 0, rest: Reader(&[]), head_bytes: 0 };
        assert_same_response(&first, content_type, fields);
    }

    #[test]
    fn random_bytes_are_harmless(mut bytes: Vec<u8>, formatted: bool) {
        if formatted && bytes.len() >= 8 {
            let length = bytes.len() as u32;
            bytes[0] = FORMAT;
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
        }
        read_as_everything(&bytes);
    }

    #[test]
    fn bent_requests_are_harmless(
        plan in plans(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = plan.encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_as_everything(&bytes);
    }
}
