-- Orders, and what the steps do with them. Run as the role that will own the
-- handlers.

CREATE SCHEMA decision;

CREATE TABLE decision.customer_order (
	order_id integer PRIMARY KEY,
	amount   numeric NOT NULL,
	country  text NOT NULL,
	history  text[] NOT NULL DEFAULT '{}'
);
INSERT INTO decision.customer_order VALUES (1, 40, 'DE'), (2, 900, 'DE'), (3, 40, 'NO'), (4, -1, 'DE');
