SELECT taskq.enqueue_job('route_order', jsonb_build_object('order_id', order_id)) AS job_id
FROM decision.customer_order ORDER BY order_id;
