"""The run folder, its configuration, and what joins the stages."""
