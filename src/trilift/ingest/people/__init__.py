"""Who is who where several people are seen: followed over time within a view, and matched between views."""
