//! How much a client may have of the broker.

use krafka::admin::{ClientQuotaAlteration, ClientQuotaEntity};

use super::Kafka;
use crate::support::runtime;

impl Kafka {
    /// Sets a quota for all that calls itself so: `consumer_byte_rate`, `request_percentage`.
    pub fn limit(&self, client_id: &str, quota: &str, value: f64) {
        let who: ClientQuotaEntity = [("client-id", Some(client_id))].into_iter().collect();
        let change = ClientQuotaAlteration::new(who, vec![(quota.into(), Some(value))]);
        let admin = self.client.admin();
        let changed = admin.alter_client_quotas(vec![change], Default::default());
        for result in runtime()
            .block_on(changed)
            .expect("Kafka answers")
            .into_values()
        {
            result.expect("the quota is set");
        }
    }
}
