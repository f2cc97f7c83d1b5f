//! What the messages of one `job send` look like.

use serde::Serialize;

use crate::base::{text, wall};
use crate::commands::cli::SendArgs;
use crate::kafka::client::RecordMetadata;
use crate::message::proto::push::{PushMsg, push_msg::Type};

/// The record key of broadcasts: it keeps them in one partition, and so in order.
const BROADCAST_KEY: &str = "broadcast";
/// The operations that Comet's clients know: a message, and a broadcast.
const OPERATION: i32 = 4;
const BROADCAST_OPERATION: i32 = 5;

/// What all messages of one call have in common.
pub struct Template {
    message: PushMsg,
    /// The record key.
    pub key: String,
    /// Whom they go to, as it is shown.
    pub to: String,
    text: String,
    /// Who chats, where the text goes into a web body.
    chat: Option<String>,
    /// What tells the ids of this call's messages from those of others.
    id: String,
}

impl Template {
    pub fn new(args: &SendArgs) -> Template {
        let mut message = PushMsg {
            server: args.server.clone(),
            ..PushMsg::default()
        };
        let (kind, key, to) = match (&args.room, args.key.first()) {
            (Some(room), _) => {
                message.room = room.clone();
                (
                    Type::ROOM,
                    room.clone(),
                    format!("room {}", text::escape_body(room.as_bytes())),
                )
            }
            (None, Some(first)) => {
                message.keys = args.key.clone();
                (
                    Type::PUSH,
                    first.clone(),
                    format!("user {}", text::escape_body(args.key.join(",").as_bytes())),
                )
            }
            (None, None) => (
                Type::BROADCAST,
                BROADCAST_KEY.to_owned(),
                "everybody".to_owned(),
            ),
        };
        let usual = if kind == Type::BROADCAST {
            BROADCAST_OPERATION
        } else {
            OPERATION
        };
        message.type_ = kind.into();
        message.operation = args.operation.unwrap_or(usual);
        Template {
            message,
            key,
            to,
            text: args.text.join(" "),
            chat: args.chat.then(|| args.user.clone()),
            id: format!("{:016x}", fastrand::u64(..)),
        }
    }

    /// The text of a message, with its number in it.
    fn text(&self, number: u64) -> String {
        self.text.replace("{n}", &number.to_string())
    }

    /// A message, by its number.
    pub fn message(&self, number: u64) -> PushMsg {
        let text = self.text(number);
        let body = match &self.chat {
            Some(user) => web_body(
                &self.message.room,
                &format!("{}-{number}", self.id),
                &text,
                user,
            ),
            None => text.into_bytes(),
        };
        PushMsg {
            msg: body.into(),
            ..self.message.clone()
        }
    }

    /// Where a message went, for people to read.
    pub fn line(&self, number: u64, at: &RecordMetadata) -> String {
        let text = text::escape_body(self.text(number).as_bytes());
        format!(
            "{}[{}]@{}  {}  \"{text}\"",
            at.topic, at.partition, at.offset, self.to
        )
    }
}

/// The body that the chat's web page understands, as Logic writes it.
#[derive(Serialize)]
struct WebBody<'a> {
    r#type: &'a str,
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    room_id: &'a str,
    messages: [ChatMessage<'a>; 1],
}

#[derive(Serialize)]
struct ChatMessage<'a> {
    id: &'a str,
    content: &'a str,
    user: User<'a>,
    /// Milliseconds since 1970.
    timestamp: i64,
}

#[derive(Serialize)]
struct User<'a> {
    id: u64,
    username: &'a str,
}

fn web_body(room_id: &str, id: &str, content: &str, username: &str) -> Vec<u8> {
    let message = ChatMessage {
        id,
        content,
        user: User { id: 1, username },
        timestamp: wall::millis(),
    };
    let body = WebBody {
        r#type: "serverMessages",
        payload: Payload {
            room_id,
            messages: [message],
        },
    };
    // Strings and numbers can always be written as JSON.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(edit: impl FnOnce(&mut SendArgs)) -> SendArgs {
        let mut args = SendArgs {
            room: None,
            key: Vec::new(),
            broadcast: false,
            operation: None,
            server: String::new(),
            count: 1,
            rate: None,
            chat: false,
            user: "job send".into(),
            text: vec!["hello".into(), "number".into(), "{n}".into()],
        };
        edit(&mut args);
        args
    }

    #[test]
    fn messages_by_whom_they_are_for() {
        let room = Template::new(&args(|args| args.room = Some("r1".into())));
        assert_eq!((room.key.as_str(), room.to.as_str()), ("r1", "room r1"));
        let message = room.message(7);
        assert_eq!(
            (message.type_.enum_value(), message.operation),
            (Ok(Type::ROOM), 4)
        );
        assert_eq!(
            (message.room.as_str(), &message.msg[..]),
            ("r1", &b"hello number 7"[..])
        );

        let users = Template::new(&args(|args| {
            args.key = vec!["u1".into(), "u2".into()];
            args.server = "comet-1".into();
            args.operation = Some(9);
        }));
        assert_eq!(
            (users.key.as_str(), users.to.as_str()),
            ("u1", "user u1,u2")
        );
        let message = users.message(1);
        assert_eq!(
            (message.type_.enum_value(), message.operation),
            (Ok(Type::PUSH), 9)
        );
        assert_eq!(
            (
                message.keys.len(),
                message.server.as_str(),
                message.room.as_str()
            ),
            (2, "comet-1", "")
        );

        let all = Template::new(&args(|args| args.broadcast = true));
        assert_eq!(
            (all.key.as_str(), all.to.as_str()),
            ("broadcast", "everybody")
        );
        let message = all.message(1);
        assert_eq!(
            (message.type_.enum_value(), message.operation),
            (Ok(Type::BROADCAST), 5)
        );
    }

    #[test]
    fn the_web_body_is_the_one_that_the_page_reads() {
        let body = web_body("r\"1", "id-1", "say \"hi\"\n聊天", "alice");
        let text = String::from_utf8(body).expect("JSON is UTF-8");
        let (front, time) = text.split_once(",\"timestamp\":").expect("a time");
        assert_eq!(
            front,
            r#"{"type":"serverMessages","payload":{"roomId":"r\"1","messages":[{"id":"id-1","content":"say \"hi\"\n聊天","user":{"id":1,"username":"alice"}"#
        );
        let time: u64 = time.trim_end_matches("}]}}").parse().expect("a number");
        assert!(time > 1_700_000_000_000, "{time}");
    }

    #[test]
    fn each_chat_message_has_its_own_id() {
        let template = Template::new(&args(|args| {
            args.room = Some("r1".into());
            args.chat = true;
        }));
        let id = |number| {
            let body: serde_json::Value =
                serde_json::from_slice(&template.message(number).msg).expect("JSON");
            body["payload"]["messages"][0]["id"]
                .as_str()
                .map(ToOwned::to_owned)
        };
        assert!(id(1).is_some());
        assert_ne!(id(1), id(2));
    }
}
