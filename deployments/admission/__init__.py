"""Who may begin: the book of the work under way, which all replicas of the driver share."""
