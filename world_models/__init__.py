"""World models; they come with the Drama agent."""
