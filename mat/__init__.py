"""MAT: Mixed-Strategy Game of Adversarial Training in Fine-tuning (IJCAI 2023)."""
