"""What tests are made of: scenarios, policies and files that several of them use."""
