//! What dev-comet records of its calls, and the faults that it shows.

use super::*;

#[test]
fn calls_and_answers_are_recorded_and_faults_shown_where_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("record");
    let ports = ["--listen", "127.0.0.1:0", "--web", "127.0.0.1:0"];
    let record = [
        "--record",
        file.to_str().expect("its name is text"),
        "--faults",
    ];
    let comet = DevComet::start_with(&[&ports[..], &record].concat());
    let caller = Caller::new(&comet);
    let call = |body: &'static str| {
        let mut req = BroadcastRoomReq::new();
        req.roomID = "r\t1".into();
        req.proto = proto(body);
        let option = CallOption::default().timeout(PATIENCE);
        match caller.0.unary_call(&methods::BROADCAST_ROOM, &req, option) {
            Ok(_) => 0,
            Err(grpcio::Error::RpcFailure(status)) => i32::from(status.code()),
            Err(other) => panic!("the call failed: {other}"),
        }
    };
    assert_eq!(call("one"), 0);
    let (head, _) = comet.request("POST", "/fault", r#"{"status":13}"#);
    assert!(head.starts_with("HTTP/1.1 204"), "{head}");
    assert_eq!(call("two"), 13);
    let (head, _) = comet.request("POST", "/fault", r#"{"statuses":13}"#);
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    comet.request("POST", "/fault", "{}");
    assert_eq!(call("th\nree"), 0);

    let record = std::fs::read_to_string(file).expect("the record");
    let lines: Vec<Vec<&str>> = record
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let shape: Vec<String> = lines
        .iter()
        .map(|fields| match fields[..] {
            ["call", number, _, rpc, target, peer, body] => {
                assert!(peer.contains("127.0.0.1:"), "{peer}");
                format!("call {number} {rpc} {target} {body}")
            }
            ["answer", number, _, code] => format!("answer {number} {code}"),
            _ => panic!("not a line of a record: {fields:?}"),
        })
        .collect();
    assert_eq!(
        shape,
        [
            r"call 1 BroadcastRoom r\t1 one",
            "answer 1 0",
            r"call 2 BroadcastRoom r\t1 two",
            "answer 2 13",
            r"call 3 BroadcastRoom r\t1 th\nree",
            "answer 3 0",
        ]
    );
    let times: Vec<u64> = lines
        .iter()
        .map(|fields| fields[2].parse().expect("a time"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn faults_are_taken_only_where_they_were_allowed() {
    let comet = DevComet::start();
    let (head, _) = comet.request("POST", "/fault", r#"{"status":13}"#);
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}
