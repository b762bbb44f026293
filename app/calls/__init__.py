"""Ask other machines: carriers and agents. An adapter builds the request and reads the answer, the
wire carries both. Web and jobs ask through here alone, with no transaction open."""
