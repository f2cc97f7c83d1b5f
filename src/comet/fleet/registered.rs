//! What a registry says of the Comets, as its JSON has it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::text::one_line;
use crate::message::fleet::Node;
use crate::settings::fleet::{comet_name, node};

/// Who is registered under an appid.
#[derive(Debug, Deserialize)]
pub struct Registered {
    /// By zone.
    #[serde(default)]
    instances: Option<BTreeMap<String, Option<Vec<Instance>>>>,
    /// When that changed last.
    #[serde(default)]
    pub latest_timestamp: i64,
}

#[derive(Debug, Deserialize)]
struct Instance {
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    addrs: Option<Vec<String>>,
    /// Others may have anything here.
    #[serde(default)]
    metadata: Option<serde_json::Value>,
    #[serde(default = "takes_requests")]
    status: u32,
}

fn takes_requests() -> u32 {
    1
}

/// The Comets that take requests; and the names of what is no Comet, with the reason.
pub fn nodes(registered: Registered) -> (Vec<Node>, Vec<(String, String)>) {
    let (mut nodes, mut wrong) = (Vec::new(), Vec::new());
    let zones = registered.instances.unwrap_or_default();
    for instance in zones.into_values().flatten().flatten() {
        if instance.status & takes_requests() == 0 {
            continue;
        }
        match instance.node() {
            Ok(node) => nodes.push(node),
            Err(why) => wrong.push((one_line(&instance.hostname), why)),
        }
    }
    // The registry lists them in any order.
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    (nodes, wrong)
}

impl Instance {
    fn node(&self) -> Result<Node, String> {
        // Some register all addresses as one text.
        let addrs = self.addrs.iter().flatten().flat_map(|all| all.split(','));
        let mut grpc = addrs.filter_map(|one| one.trim().strip_prefix("grpc://"));
        let address = grpc
            .next()
            .ok_or("it has no address that begins with grpc://")?;
        // Behind the address there may be a query.
        let address = address.split(['/', '?']).next().unwrap_or_default();
        if address.contains('=') {
            return Err(format!("'{}' is no address", one_line(address)));
        }
        let node = node(address)?;
        let name = match self.hostname.is_empty() {
            true => node.name,
            false => comet_name(&self.hostname)?,
        };
        let offline = self.metadata.as_ref().and_then(|all| all.get("offline"));
        let offline = offline.and_then(serde_json::Value::as_str);
        Ok(Node {
            name,
            // goim's Comet says so before it stops: nobody is sent there any more, and who is there stays.
            drains: offline == Some("true"),
            own: None,
            address: node.address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> (Vec<Node>, Vec<(String, String)>) {
        nodes(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn comets_of_all_zones_by_their_hostnames() {
        let (nodes, wrong) = read(
            r#"{"instances": {
                "sh002": [{"zone": "sh002", "env": "dev", "appid": "goim.comet", "hostname": "comet2",
                    "color": "", "version": "", "metadata": {"addrs": "203.0.113.2", "conn_count": "0",
                    "ip_count": "0", "offline": "true", "weight": "10"},
                    "addrs": ["http://10.0.0.2:3111", "grpc://10.0.0.2:3109"], "status": 1,
                    "reg_timestamp": 1525948301833084700, "up_timestamp": 1525948301833084700,
                    "renew_timestamp": 1525949202959821300, "dirty_timestamp": 1525948301848680000,
                    "latest_timestamp": 1525948301833084700}],
                "sh001": [{"hostname": "comet1", "addrs": ["grpc://10.0.0.1:3109"], "metadata": null},
                    {"hostname": "comet3", "addrs": ["grpc://10.0.0.3:3109"], "status": 2},
                    {"hostname": "comet4", "addrs": ["http://10.0.0.4:1,grpc://10.0.0.4:3109"]}],
                "sh003": null},
                "scheduler": null, "latest_timestamp": 1525948301833084700}"#,
        );
        let named = |name: &str, address: &str, drains| Node {
            name: name.into(),
            address: address.into(),
            drains,
            own: None,
        };
        let expected = [
            named("comet1", "10.0.0.1:3109", false),
            named("comet2", "10.0.0.2:3109", true),
            named("comet4", "10.0.0.4:3109", false),
        ];
        assert_eq!((nodes.as_slice(), wrong.len()), (&expected[..], 0));
    }

    #[test]
    fn what_is_no_comet_is_said() {
        for (addrs, says) in [
            (
                r#"["http://10.0.0.1:1"]"#,
                "no address that begins with grpc://",
            ),
            ("null", "no address that begins with grpc://"),
            (r#"["grpc://10.0.0.1"]"#, "'10.0.0.1' has no port"),
            (r#"["grpc://x=10.0.0.1:1"]"#, "is no address"),
        ] {
            let json =
                format!(r#"{{"instances": {{"z": [{{"hostname": "h", "addrs": {addrs}}}]}}}}"#);
            let (nodes, wrong) = read(&json);
            assert!(nodes.is_empty() && wrong[0].1.contains(says), "{wrong:?}");
        }
        assert_eq!(read("{}"), (Vec::new(), Vec::new()));
    }
}
