//! How much mail waits, over all tenants: numbers for an operator, who has no business with whose it is.

use super::door::Store;
use super::error::Result;
use super::sql::{Cells, Executor, Record, Unreadable, system_sql};
use crate::metrics::MailLevels;

system_sql! {
    /// $1: now; what was due by $2 is late, unless its campaign has done something since.
    MAIL_LEVELS =
        "WITH running AS (
             SELECT c.tenant_id, c.id, c.current_step, c.lease_owner, c.due_time, n.count AS approved
             FROM campaigns c
             JOIN email_counts n ON n.tenant_id = c.tenant_id AND n.campaign_id = c.id AND n.status = 'approved'
             WHERE c.state = 'RUNNING' AND n.count > 0),
         due AS (
             SELECT r.due_time, r.lease_owner, (
                 SELECT e.time
                 FROM campaign_events e
                 WHERE e.tenant_id = r.tenant_id AND e.campaign_id = r.id
                 ORDER BY e.seq DESC
                 LIMIT 1) AS last_event
             FROM running r
             WHERE r.current_step = 'email_sending' AND (r.lease_owner IS NOT NULL OR r.due_time <= $1))
         SELECT (SELECT CAST(COALESCE(SUM(approved), 0) AS bigint) FROM running) AS waiting,
             (SELECT COUNT(*) FROM due) AS due,
             (SELECT COUNT(*) FROM due WHERE last_event <= $2 AND (lease_owner IS NOT NULL OR due_time <= $2)) AS late,
             (SELECT CAST(COALESCE(SUM((
                  SELECT COUNT(*)
                  FROM emails e
                  WHERE e.tenant_id = m.tenant_id AND e.campaign_id = r.id AND e.mailbox_id = m.id AND e.status = 'approved')), 0) AS bigint)
              FROM mailboxes m
              JOIN running r ON r.tenant_id = m.tenant_id
              WHERE m.state = 'paused') AS held,
             (SELECT COUNT(*) FROM mailboxes WHERE state = 'paused') AS paused_mailboxes";
}

/// When mail that is due is late, in seconds.
const LATE_SECONDS: i64 = 5 * 60;

impl Store {
    /// How much mail waits now.
    pub async fn mail_levels(&self) -> Result<MailLevels> {
        let now = self.ids().now();
        let late = now.plus_seconds(-LATE_SECONDS);
        let read = move |executor: &dyn Executor| MAIL_LEVELS.on(executor).bind(now).bind(late).optional();
        Ok(self.readers.aside(read).await?.unwrap_or_default())
    }
}

/// In the order of `MAIL_LEVELS`.
impl Record for MailLevels {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        Ok(Self {
            waiting: cells.named("waiting")?,
            due: cells.named("due")?,
            late: cells.named("late")?,
            held: cells.named("held")?,
            paused_mailboxes: cells.named("paused_mailboxes")?,
        })
    }
}
