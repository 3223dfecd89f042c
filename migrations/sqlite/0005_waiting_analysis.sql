-- A campaign whose website gives itself no name waits for it, and is live meanwhile.
DROP INDEX campaigns_live;
CREATE INDEX campaigns_live ON campaigns (tenant_id)
    WHERE state IN ('RUNNING', 'PAUSED', 'WAITING_ANALYSIS', 'WAITING_TEMPLATE', 'WAITING_APPROVAL');
