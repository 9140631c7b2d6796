"""An experiment on a cluster: what jobs ask for, how runs share them, what is checked before any is sent."""
