"""The item store in DynamoDB."""
