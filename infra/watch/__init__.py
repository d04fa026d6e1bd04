"""Watches a function: its metrics, their alarms, a dashboard, and the prices that cost is estimated by."""
