//! The bodies that `job send` makes: the web body says what was asked for, whatever the text; without `--chat` the
//! text is the body.

use chatroom_job::commands::cli::SendArgs;
use chatroom_job::consumer::decode::decode;
use chatroom_job::commands::send::template::Template;
use chatroom_job::message::proto::push::PushMsg;
use protobuf::Message;
use serde_json::Value;

use crate::{Parts, is_one_line};

const NUMBER: u64 = 1234;

pub fn check(parts: &Parts) {
    let text = String::from_utf8_lossy(&parts.body).into_owned();
    let mut args = SendArgs {
        room: Some(parts.name.clone()),
        key: Vec::new(),
        broadcast: false,
        operation: None,
        server: String::new(),
        count: 1,
        rate: None,
        chat: true,
        user: parts.name.clone(),
        text: vec![text.clone()],
    };
    let said = text.replace("{n}", "1234");

    let template = Template::new(&args);
    assert!(is_one_line(&template.to));
    let push = sent(&template);
    assert_eq!(push.room, parts.name);
    let body: Value = serde_json::from_slice(&push.msg).expect("a web body is JSON");
    assert_eq!(body["type"], "serverMessages");
    assert_eq!(body["payload"]["roomId"], *parts.name);
    let messages = body["payload"]["messages"].as_array();
    let [message] = messages.map_or(&[][..], |all| all) else {
        panic!("not one message: {body}")
    };
    assert_eq!(message["content"], *said);
    assert_eq!(message["user"]["username"], *parts.name);
    assert!(message["timestamp"].is_u64());

    args.chat = false;
    assert_eq!(sent(&Template::new(&args)).msg, said.as_bytes());
}

/// The message, as job reads it from its record.
fn sent(template: &Template) -> PushMsg {
    let value = template.message(NUMBER).write_to_bytes();
    decode(Some(&value.expect("it can be written").into())).expect("a PushMsg")
}
