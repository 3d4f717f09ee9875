"""Who is who where several people are seen: tracked within a view, matched between views, followed in the room."""
