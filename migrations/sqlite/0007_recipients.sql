-- Whom a campaign left out when it chose its recipients, as JSON: rule, number, some addresses.
ALTER TABLE campaigns ADD COLUMN left_out TEXT;

-- Steps of campaigns that were cancelled: they were not skipped.
UPDATE campaign_steps SET status = 'cancelled' WHERE status = 'skipped' AND summary = 'cancelled';
