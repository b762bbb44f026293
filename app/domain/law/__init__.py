"""What the law says about texts: rules as dated data, where a recipient may live, and what follows for one text."""
