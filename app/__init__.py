"""LeadSail SMS: text conversations between organizations and their leads."""
