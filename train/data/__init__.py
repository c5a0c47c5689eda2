"""Pictures on disk, and the blurred and sharp crops that training gets of them."""
